//go:build !linux

package doctor

func openSockets(string) []socket { return nil }

func (m *machine) holders(string) []*process { return nil }
