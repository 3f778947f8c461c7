// Package control is the control socket: what an operator tells the daemon to
// do. Only the daemon's own user and root can reach it. A connection carries
// one request, a line of JSON, and one answer, another.
package control

import (
	"encoding/json"
	"time"
)

// Schema is the version of requests and answers.
const Schema = 1

// Limits of the protocol.
const (
	MaxRequest     = 16 << 10 // octets
	MaxAnswer      = 32 << 20 // octets, as a client reads it
	maxConnections = 8
	readTimeout    = 2 * time.Second
	writeTimeout   = 10 * time.Second
)

// Verb is what to do.
type Verb string

// The verbs.
const (
	Reload        Verb = "reload"
	AcceptStep    Verb = "accept-step"
	SourceList    Verb = "source-list"
	SourceAdd     Verb = "source-add"
	SourceRemove  Verb = "source-remove"
	SourceRefresh Verb = "source-refresh"
	KeysRotate    Verb = "keys-rotate"
	History       Verb = "history"
	Clients       Verb = "clients"
)

// Request is one request. Keys that a verb does not use are left out.
type Request struct {
	Schema int  `json:"schema"`
	Verb   Verb `json:"verb"`
	// Source names a source: as configured, or by its address.
	Source string `json:"source,omitempty"`
	// Config is a [[source]] as it would stand in ntp.toml, without its head.
	Config string `json:"config,omitempty"`
	// Since bounds a history, in seconds before now; 0 for all of it.
	Since float64 `json:"since,omitempty"`
	// Top bounds a list of clients; 0 for all of them.
	Top int `json:"top,omitempty"`
}

// Answer is the answer to a request.
type Answer struct {
	Schema int  `json:"schema"`
	Done   bool `json:"done"`
	// Text says what was done, or why it was not, in lines for people.
	Text []string `json:"text,omitempty"`
	// Data is what was asked for, by verb.
	Data json.RawMessage `json:"data,omitempty"`
}

// Did is the answer of something that was done.
func Did(text ...string) Answer { return Answer{Schema: Schema, Done: true, Text: text} }

// Refused is the answer of something that was not done.
func Refused(text ...string) Answer { return Answer{Schema: Schema, Text: text} }

// With adds data to an answer.
func (a Answer) With(data any) Answer {
	b, err := json.Marshal(data)
	if err != nil {
		return Refused("the answer cannot be written: " + err.Error())
	}
	a.Data = b
	return a
}

// Source is one configured source, as SourceList gives it.
type Source struct {
	Index   int    `json:"index"`
	Name    string `json:"name"`
	Mode    string `json:"mode"`
	Count   int    `json:"count"` // servers of a pool; 1 otherwise
	Added   bool   `json:"added"` // at run time: gone after a restart
	Removed bool   `json:"removed"`
}
