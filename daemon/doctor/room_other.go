//go:build !linux

package doctor

func noRoom(string) string { return "" }
