// Package config turns the bytes of ntp.toml, or of a pool's pool.toml, into a typed Config.
//
// It is pure: callers read the file and pass its name and bytes, and callers open the files that the
// configuration names (Config.Paths lists them with their positions). Nothing here looks at the system.
//
// One table of keys (schema.go and its neighbours) drives everything: which keys exist and where, their types,
// defaults and older spellings, which of them this version cannot honour yet, and the key list in
// docs/compatibility.md.
//
// Reading goes in four steps, each of which reports every problem it finds and lets the next one go on:
//
//	bytes ──tree──▶ values with positions ──moves──▶ today's shape ──decode──▶ Config ──check──▶ warnings
//
// A Problem stops a start; a Warning does not; an Unbuilt names a key that is understood but whose capability does
// not exist yet, and says whether going on without it would change what is steered, asked or served.
package config
