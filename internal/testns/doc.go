// Package testns runs tests in namespaces of Linux, where they may change the
// network or the mounts without anybody else noticing.
package testns
