package main

import (
	"crypto/tls"
	_ "embed" // the C program
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/ntpd-go/ntpd-go/nts"
	"github.com/ntpd-go/ntpd-go/proto/aead"
)

// floorSource is the least that a server of plain NTP does.
//
//go:embed floor/floor.c
var floorSource []byte

// buildFloor compiles it into dir.
func buildFloor(dir string) (string, error) {
	source, program := filepath.Join(dir, "floor.c"), filepath.Join(dir, "floor")
	if err := os.WriteFile(source, floorSource, 0o644); err != nil {
		return "", err
	}
	if out, err := exec.Command("cc", "-O2", "-o", program, source).CombinedOutput(); err != nil {
		return "", fmt.Errorf("cannot compile the C floor (install gcc): %w: %s", err, out)
	}
	return program, nil
}

// serveFloor is the least that a server of key exchanges does in Go: a TLS 1.3
// handshake, one read, and one write of an answer that was made in advance.
func serveFloor(listen, chain, key string) error {
	pair, err := tls.LoadX509KeyPair(chain, key)
	if err != nil {
		return err
	}
	config := &tls.Config{
		Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13, NextProtos: []string{nts.ALPN},
		SessionTicketsDisabled: true, DynamicRecordSizingDisabled: true,
	}
	established := nts.Established{Protocol: nts.NTPv4, Algorithm: aead.AESSIVCMAC256}
	for i := range nts.MaxCookies {
		cookie := make([]byte, 104)
		cookie[0] = byte(i)
		established.Cookies = append(established.Cookies, cookie)
	}
	answer, err := nts.AppendResponse(nil, established)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	for {
		tcp, err := l.Accept()
		if err != nil {
			return err
		}
		go answerFloor(tls.Server(tcp, config), answer)
	}
}

func answerFloor(conn *tls.Conn, answer []byte) {
	defer conn.Close()
	buf := make([]byte, 4096)
	if conn.SetDeadline(time.Now().Add(10*time.Second)) != nil {
		return
	}
	if _, err := conn.Read(buf); err != nil {
		return
	}
	_, _ = conn.Write(answer)
}
