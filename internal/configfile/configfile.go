// Package configfile reads the daemon's configuration as its tools do: they
// need to know where the daemon can be asked, not that it would start.
package configfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/ntpd-go/ntpd-go/daemon/config"
	"github.com/ntpd-go/ntpd-go/internal/cli"
)

// Read reads the file that is named, or with "" the default one where there is
// one that may be read, or else gives the defaults. What is wrong in a file is
// listed, and the rest of it is there. The error says that a file cannot be
// read and what to do; its exit code is cli.Config.
func Read(file string) (*config.Config, config.Problems, error) {
	named := file != ""
	if !named {
		file = config.DefaultPath
	}
	data, err := os.ReadFile(file)
	switch {
	case !named && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)):
		return config.Default(), nil, nil
	case err != nil:
		return nil, nil, cli.Exit(cli.Config, fmt.Errorf("configuration: %w", cli.Unreadable(err, cli.NameAnother)))
	}
	cfg, problems := config.Parse(file, data)
	return cfg, problems, nil
}
