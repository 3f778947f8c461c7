package main

import "github.com/ntpd-go/ntpd-go/test/scene"

var networkRows []scene.Row
var poolRows []scene.Row
var provedRows []scene.Row
