package jsonschema

import "testing"

const schema = `{
  "type": "object", "required": ["n", "t"],
  "properties": {
    "n": {"type": ["integer", "null"], "minimum": 0, "maximum": 9},
    "t": {"$ref": "#/$defs/text"},
    "l": {"type": "array", "items": {"enum": ["a", null]}},
    "c": {"const": 1},
    "m": {"type": "object", "additionalProperties": {"type": "number"}}
  },
  "$defs": {"text": {"type": "string", "pattern": "^x"}}
}`

func TestCheck(t *testing.T) {
	for doc, wrong := range map[string]int{
		`{"n": 3, "t": "x"}`:                              0,
		`{"n": null, "t": "x", "l": ["a", null], "c": 1}`: 0,
		`{"n": 3, "t": "x", "m": {"any": 1.5}}`:           0,
		`{"n": 3, "t": "x", "m": {"any": "1"}}`:           1,
		`{"n": 3}`:                                        1,
		`{"n": 3.5, "t": "x"}`:                            1,
		`{"n": -1, "t": "x"}`:                             1,
		`{"n": 10, "t": "x"}`:                             1,
		`{"n": 1, "t": "y"}`:                              1,
		`{"n": 1, "t": 1}`:                                1,
		`{"n": 1, "t": "x", "l": ["b", "a"]}`:             1,
		`{"n": 1, "t": "x", "c": 2}`:                      1,
		`{"n": 1, "t": "x", "new": 2}`:                    1,
		`[]`:                                              1,
		`{"n": "1", "t": null, "l": {}, "c": true, "m": [1, 2]}`: 5,
		`{`: 1,
	} {
		if errs := Check([]byte(schema), []byte(doc)); len(errs) != wrong {
			t.Errorf("%s: %d errors instead of %d: %v", doc, len(errs), wrong, errs)
		}
	}
}

// A rule that would not be checked is an error, and so is one that is broken.
func TestSchemasAreCheckedWhole(t *testing.T) {
	for _, s := range []string{`{"maxLength": 3}`, `{"$ref": "#/$defs/nowhere"}`, `{"items": 3}`, `{`, `{"type": "unheard"}`} {
		if errs := Check([]byte(s), []byte(`["x"]`)); len(errs) == 0 {
			t.Errorf("%s: no error", s)
		}
	}
}
