package main

// further are set-ups beyond the twenty.
var further = []setup{}
