package observe

import _ "embed" // the schemas

// StatusSchema is the JSON schema of Report.
//
//go:embed schema/status-1.json
var StatusSchema []byte

// ClientsDocument is the JSON schema of ClientList.
//
//go:embed schema/clients-1.json
var ClientsDocument []byte
