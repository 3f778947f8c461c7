package lab

import (
	"fmt"
	"strconv"
	"strings"
)

// snmpCounter finds one counter in the text of /proc/net/snmp, where a line of names precedes a line of values.
func snmpCounter(text, table, name string) (int, error) {
	var names []string
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] != table {
			continue
		}
		if names == nil {
			names = fields
			continue
		}
		for i, n := range names {
			if n == name && i < len(fields) {
				return strconv.Atoi(fields[i])
			}
		}
	}
	return 0, fmt.Errorf("no counter %s %s", table, name)
}
