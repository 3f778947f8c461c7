package cookie

import (
	"bytes"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// "The number of unused cookies stored by the client will come to eight"
// (RFC 8915 section 5.7).
func TestJarHoldsEight(t *testing.T) {
	var j Jar
	for i := range byte(20) {
		j.Put([]byte{i})
		if want := min(int(i)+1, 8); j.Len() != want {
			t.Errorf("%d cookies after %d, want %d", j.Len(), i+1, want)
		}
	}
	for want := byte(12); want < 20; want++ {
		if got, ok := j.Take(); !ok || !bytes.Equal(got, []byte{want}) {
			t.Errorf("took %v, %v, want %d", got, ok, want)
		}
	}
	if got, ok := j.Take(); ok || got != nil || j.Len() != 0 {
		t.Errorf("took %v out of an empty jar, which holds %d", got, j.Len())
	}
}

func TestJarCopies(t *testing.T) {
	var j Jar
	c := []byte("cookie")
	j.Put(c)
	clear(c)
	all := j.All()
	clear(all[0])
	if got, _ := j.Take(); string(got) != "cookie" {
		t.Errorf("took %q", got)
	}
	if j.All() == nil || len(j.All()) != 0 {
		t.Errorf("an empty jar lists %v", j.All())
	}
}

// "The client SHOULD avoid reusing a cookie" (RFC 8915 section 5.7): against a
// slice as the model, each comes out once and in order.
func TestJarGivesEachCookieOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var j Jar
		var model [][]byte
		next := byte(0)
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				next++
				j.Put([]byte{next})
				model = append(model, []byte{next})
				model = model[max(len(model)-JarSize, 0):]
			},
			"take": func(t *rapid.T) {
				got, ok := j.Take()
				if ok != (len(model) > 0) {
					t.Fatalf("took %v, %v of %d", got, ok, len(model))
				}
				if ok {
					if !bytes.Equal(got, model[0]) {
						t.Fatalf("took %v, want %v", got, model[0])
					}
					model = model[1:]
				}
			},
			"": func(t *rapid.T) {
				if j.Len() != len(model) || !slices.EqualFunc(j.All(), model, bytes.Equal) {
					t.Fatalf("holds %v, want %v", j.All(), model)
				}
			},
		})
	})
}
