package configfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/ntpd-go/ntpd-go/daemon/config"
	"github.com/ntpd-go/ntpd-go/internal/cli"
)

func TestRead(t *testing.T) {
	name := filepath.Join(t.TempDir(), "ntp.toml")
	if _, _, err := Read(name); !errors.Is(err, fs.ErrNotExist) || cli.Code(err) != cli.Config {
		t.Errorf("a file that is not there: %v, exit code %d", err, cli.Code(err))
	}
	// What is wrong does not hide what is right.
	if err := os.WriteFile(name, []byte("[observability]\nnonsense = 1\nobservation-path = \"here\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, problems, err := Read(name)
	if err != nil || len(problems) != 1 || cfg.Observability.ObservationPath != "here" {
		t.Errorf("%+v, %v, %v", cfg, problems, err)
	}
	if _, err := os.Stat(config.DefaultPath); errors.Is(err, fs.ErrNotExist) {
		cfg, problems, err := Read("")
		if err != nil || len(problems) != 0 || cfg.Observability.ObservationPath != config.DefaultObservationPath {
			t.Errorf("without a file: %+v, %v, %v", cfg, problems, err)
		}
	}
}
