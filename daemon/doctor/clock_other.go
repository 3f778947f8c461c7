//go:build !linux

package doctor

func readKernel() kernel { return kernel{} }
