package config

import "testing"

func TestLooksLikeHeader(t *testing.T) {
	for line, want := range map[string]bool{
		"[server]": true, "[[server]]": true, "  [ server.denylist ] # x": true, "[[server]]\r\n": true,
		"": false, "server": false, "[]": false, "[1]": false, "[ 0, 1 ]": false, "[\"a\"]": false, "[server": false, "[[server]": false,
		"[server] = 1": false, "[server],": false, "[9a]": false, "[0a]": false, "[Zz_9-aA]": true,
	} {
		if got := looksLikeHeader(line); got != want {
			t.Errorf("%q: %v", line, got)
		}
	}
}

func TestLooksLikeKey(t *testing.T) {
	for line, want := range map[string]bool{
		"a = 1": true, "\ta.b-c_1=1": true, "": false, "a": false, "= 1": false, "{ a = 1 }": false, "\"a\" = 1": false, "# a = 1": false, "a, b = 1": false,
	} {
		if got := looksLikeKey(line); got != want {
			t.Errorf("%q: %v", line, got)
		}
	}
}
