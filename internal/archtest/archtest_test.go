package archtest

import (
	"os"
	"testing"
)

func load(t *testing.T) *Tree {
	t.Helper()
	tree, err := Load(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func TestTheHouseIsBuiltAsPlanned(t *testing.T) {
	for _, v := range Check(load(t)) {
		t.Error(v)
	}
}

func TestThePlanIsTheHouse(t *testing.T) {
	tree := load(t)
	for _, p := range Idle(tree) {
		t.Errorf("internal/archtest has a rule for %s, which does not exist", p)
	}
	for _, p := range Upwards() {
		t.Errorf("the list of rooms is not in order: %s", p)
	}
}

func TestFiltersRoundTheirProducts(t *testing.T) {
	found, err := Unrounded(load(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range found {
		t.Error(v)
	}
}
