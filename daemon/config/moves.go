package config

var retired = map[string]string{}

func (d *decoder) modernise(root *group) {}
