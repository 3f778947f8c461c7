package config

import (
	"flag"
	"os"
	"testing"

	"github.com/ntpd-go/ntpd-go/internal/golden"
)

var update = flag.Bool("update", false, "write golden files anew")

func TestAllProblemsAtOnce(t *testing.T) {
	const file = "testdata/everything-wrong.toml"
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, problems := Parse("everything-wrong.toml", data)
	golden.Compare(t, *update, "testdata/everything-wrong.golden", []byte(problems.Error()+"\n"))
}
