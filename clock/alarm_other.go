//go:build !linux

package clock

// listenAlarm hears nothing: nobody tells.
func listenAlarm() (<-chan struct{}, func()) { return nil, func() {} }
