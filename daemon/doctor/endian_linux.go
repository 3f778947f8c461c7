package doctor

import "encoding/binary"

// littleEndian is this machine's order of octets.
var littleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1
