package main

import "github.com/ntpd-go/ntpd-go/daemon"

// checkFiles looks into the files that a configuration names.
var checkFiles = daemon.CheckFiles
