package manpage

import "strings"

// ExitStatus says what the exit codes mean that all commands share (package
// internal/cli).
var ExitStatus = Part{"EXIT STATUS", `  0   done, and the answer is yes
  1   the command ran and the answer is no, or nobody answers
  64  wrong flags or arguments
  70  a resource of the machine could not be had
  77  a privilege is missing
  78  the configuration cannot be used`}

// Plugins says how verbs end that judge.
var Plugins = Part{"EXIT STATUS OF VERBS THAT JUDGE", `check, doctor, query and nts-check end as monitoring plugins do: 0 OK, 1 warning, 2 critical, 3 the check itself could not be
made.`}

// SeeAlso names other pages.
func SeeAlso(pages ...string) Part { return Part{"SEE ALSO", strings.Join(pages, ", ")} }
