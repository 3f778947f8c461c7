//go:build !unix

package doctor

import "io/fs"

func askKernel(string, access) string { return "" }

func (identity) byMode(fs.FileInfo, access) string { return "" }
