//go:build !linux

package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/ntpd-go/ntpd-go/daemon/config"
	"github.com/ntpd-go/ntpd-go/proto"
)

// The daemon exists for Linux only, and so does what is done with its means.

var errMayNotStep = errors.New("the clock may not be set")

var errOnlyLinux = fmt.Errorf("this is for the machine that ntp-daemon runs on: %w", errors.ErrUnsupported)

func measure(context.Context, *config.Config) (measured, error) { return measured{}, errOnlyLinux }

func stepClock(proto.Duration) error { return errOnlyLinux }

func forgetSteps(string) (float64, error) { return 0, errOnlyLinux }
