package cookie

import "slices"

// JarSize is the number of cookies a client holds: "the number of unused
// cookies stored by the client will come to eight" (RFC 8915 section 5.7).
const JarSize = 8

// Jar holds a client's unused cookies, oldest first. The zero Jar is empty and
// ready for use; one goroutine at a time may use it.
type Jar struct {
	cookies [JarSize][]byte
	first   int
	n       int
}

// Put adds a copy of a cookie. A full jar forgets its oldest.
func (j *Jar) Put(cookie []byte) {
	if j.n == JarSize {
		j.Take()
	}
	j.cookies[(j.first+j.n)%JarSize] = slices.Clone(cookie)
	j.n++
}

// Take removes and returns the oldest cookie, which then belongs to the caller;
// ok is false when the jar is empty. A cookie comes out once: "To protect the
// client's privacy, the client SHOULD avoid reusing a cookie" (RFC 8915
// section 5.7).
func (j *Jar) Take() (cookie []byte, ok bool) {
	if j.n == 0 {
		return nil, false
	}
	cookie = j.cookies[j.first]
	j.cookies[j.first] = nil
	j.first = (j.first + 1) % JarSize
	j.n--
	return cookie, true
}

// Len is the number of cookies in the jar.
func (j *Jar) Len() int { return j.n }

// All returns copies of the cookies, oldest first, and leaves them in the jar.
func (j *Jar) All() [][]byte {
	all := make([][]byte, 0, j.n)
	for i := range j.n {
		all = append(all, slices.Clone(j.cookies[(j.first+i)%JarSize]))
	}
	return all
}
