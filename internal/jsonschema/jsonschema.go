// Package jsonschema checks documents against the published schemas: as much
// of JSON Schema 2020-12 as they use, and a refusal of every keyword beyond
// that, so that no rule of a schema goes unchecked.
package jsonschema

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// Check returns everything that is wrong with a document, and every key of it
// that the schema does not describe.
func Check(schema, document []byte) []error {
	var root, doc any
	if err := json.Unmarshal(schema, &root); err != nil {
		return []error{fmt.Errorf("schema: %w", err)}
	}
	if err := json.Unmarshal(document, &doc); err != nil {
		return []error{fmt.Errorf("document: %w", err)}
	}
	c := &checker{root: root}
	c.check("$", root, doc)
	return c.errs
}

type checker struct {
	root any
	errs []error
}

func (c *checker) fail(path, format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf("%s: %s", path, fmt.Sprintf(format, args...)))
}

func (c *checker) check(path string, schema, doc any) {
	s, ok := schema.(map[string]any)
	if !ok {
		c.fail(path, "the schema is %T", schema)
		return
	}
	for keyword, rule := range s {
		switch keyword {
		case "$schema", "$id", "$defs", "title", "description", "properties", "additionalProperties":
		case "$ref":
			c.check(path, c.resolve(path, rule), doc)
		case "const":
			c.expect(path, reflect.DeepEqual(rule, doc), "is %v instead of %v", doc, rule)
		case "enum":
			list, _ := rule.([]any)
			c.expect(path, slices.ContainsFunc(list, func(v any) bool { return reflect.DeepEqual(v, doc) }), "%v is none of %v", doc, list)
		case "type":
			c.expect(path, hasType(rule, doc), "%v (%T) is not of type %v", doc, doc, rule)
		case "minimum":
			n, isNumber := doc.(float64)
			c.expect(path, !isNumber || n >= rule.(float64), "%v is below %v", doc, rule)
		case "maximum":
			n, isNumber := doc.(float64)
			c.expect(path, !isNumber || n <= rule.(float64), "%v is above %v", doc, rule)
		case "pattern":
			t, isText := doc.(string)
			c.expect(path, !isText || regexp.MustCompile(rule.(string)).MatchString(t), "%v does not match %v", doc, rule)
		case "required":
			c.required(path, rule, doc)
		case "items":
			list, _ := doc.([]any)
			for i, v := range list {
				c.check(fmt.Sprintf("%s[%d]", path, i), rule, v)
			}
		default:
			c.fail(path, "the schema has the keyword %q, which is not checked", keyword)
		}
	}
	c.members(path, s, doc)
}

func (c *checker) expect(path string, ok bool, format string, args ...any) {
	if !ok {
		c.fail(path, format, args...)
	}
}

func (c *checker) required(path string, rule, doc any) {
	members, isObject := doc.(map[string]any)
	if !isObject {
		return
	}
	for _, key := range rule.([]any) {
		if _, present := members[key.(string)]; !present {
			c.fail(path, "has no %v", key)
		}
	}
}

// members checks the values of an object. A key that is not described is an
// error here although readers must ignore it: we do not publish what we do not
// describe.
func (c *checker) members(path string, s map[string]any, doc any) {
	members, isObject := doc.(map[string]any)
	described, _ := s["properties"].(map[string]any)
	others, open := s["additionalProperties"]
	if !isObject || described == nil && !open {
		return
	}
	for key, value := range members {
		rule, known := described[key]
		if !known {
			rule = others
		}
		if rule == nil {
			c.fail(path, "has %q, which is not described", key)
			continue
		}
		c.check(path+"."+key, rule, value)
	}
}

// resolve finds what a reference within the schema points to.
func (c *checker) resolve(path string, ref any) any {
	name, _ := ref.(string)
	at := c.root
	for part := range strings.SplitSeq(strings.TrimPrefix(name, "#/"), "/") {
		m, _ := at.(map[string]any)
		if at = m[part]; at == nil {
			c.fail(path, "the schema refers to %q, which is not there", name)
			return map[string]any{}
		}
	}
	return at
}

func hasType(rule, doc any) bool {
	if list, ok := rule.([]any); ok {
		return slices.ContainsFunc(list, func(r any) bool { return hasType(r, doc) })
	}
	switch rule {
	case "null":
		return doc == nil
	case "boolean":
		_, ok := doc.(bool)
		return ok
	case "string":
		_, ok := doc.(string)
		return ok
	case "number":
		_, ok := doc.(float64)
		return ok
	case "integer":
		n, ok := doc.(float64)
		return ok && n == math.Trunc(n)
	case "object":
		_, ok := doc.(map[string]any)
		return ok
	case "array":
		_, ok := doc.([]any)
		return ok
	default:
		return false
	}
}
