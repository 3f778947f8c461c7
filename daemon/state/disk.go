package state

import "os"

// disk is the operating system's file system.
type disk struct{}

func (disk) create(dir, pattern string) (file, error) { return os.CreateTemp(dir, pattern) }
func (disk) rename(from, to string) error             { return os.Rename(from, to) }
func (disk) remove(path string) error                 { return os.Remove(path) }

func (disk) syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
