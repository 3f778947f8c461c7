package main

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// The test's own binary is a program with dependencies enough.
func TestDescribe(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	first, err := describe([]string{self})
	if err != nil {
		t.Fatal(err)
	}
	second, err := describe([]string{self})
	if err != nil || !bytes.Equal(first, second) {
		t.Errorf("two documents of one program differ, %v", err)
	}
	var d document
	if err := json.Unmarshal(first, &d); err != nil {
		t.Fatal(err)
	}
	if d.Format != "CycloneDX" || len(d.Components) < 2 || len(d.Dependencies) != 1 || len(d.Dependencies[0].On) != len(d.Components)-1 {
		t.Errorf("%s", first)
	}
	if !strings.HasPrefix(d.Components[len(d.Components)-1].PURL, "pkg:golang/std@1.") {
		t.Errorf("the standard library is missing: %s", first)
	}
	if h := d.Components[0].Hashes; len(h) != 1 || len(h[0].Content) != 64 {
		t.Errorf("hashes %v", h)
	}
}

func TestWhatIsNoProgram(t *testing.T) {
	if _, err := describe([]string{"main.go"}); err == nil {
		t.Error("no error")
	}
}
