package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/ntpd-go/ntpd-go/daemon"
	"github.com/ntpd-go/ntpd-go/daemon/activation"
	"github.com/ntpd-go/ntpd-go/daemon/config"
	"github.com/ntpd-go/ntpd-go/daemon/privilege"
)

// confiner gives up what the daemon does not need any more once it has begun,
// unless the command line says otherwise.
func confiner(cfg *config.Config, f *flags, clockName string, handed *activation.Sockets, log *slog.Logger) func() {
	if f.privileged {
		return nil
	}
	return func() {
		n := needs(cfg, f.config, clockName, handed)
		if len(cfg.NTSKEServers) > 0 && !f.together {
			n.Execute = []string{self}
		}
		got, err := privilege.Confine(n)
		if err != nil {
			log.Warn("could not give up all privileges; going on with what is left", "code", "privileges", "error", err)
			return
		}
		left := strings.Join(got.Capabilities, " ")
		if left == "" {
			left = "none"
		}
		log.Info("gave up privileges", "capabilities", left, "landlock", got.Landlock)
	}
}

// needs is what a daemon needs while it runs: to set the clock that it steers,
// to bind privileged ports of addresses that come back, to read again what the
// configuration names, and to write what it keeps.
func needs(cfg *config.Config, file, clockName string, handed *activation.Sockets) privilege.Needs {
	if file == "" {
		file = config.DefaultPath
	}
	n := privilege.Needs{SetTime: clockName == daemon.ClockSystem && len(cfg.Sources) > 0}
	for i := range cfg.Servers {
		listen := cfg.Servers[i].Listen
		privileged := listen.Port() > 0 && listen.Port() < 1024
		n.Bind = n.Bind || privileged && len(handed.UDP(listen)) == 0
	}
	n.Read = append(privilege.Around(file), privilege.Around(os.Getenv("SSL_CERT_FILE"))...)
	n.Read = append(n.Read, filepath.SplitList(os.Getenv("SSL_CERT_DIR"))...)
	for _, p := range cfg.Paths() {
		around := privilege.Around(p.Name)
		switch p.Use {
		case config.UseRoots, config.UseChain, config.UseKey, config.UseCertificate:
			n.Read = append(n.Read, around...)
		default:
			n.Write = append(n.Write, around...)
		}
	}
	n.Write = append(n.Write, privilege.Around(cfg.Observability.ControlPath)...)
	kept := []string{cfg.Synchronization.NTSState(clockName == daemon.ClockSystem)}
	if n.SetTime {
		kept = append(kept, cfg.Synchronization.StatePath)
	}
	for _, path := range kept {
		if path != "" {
			// What is not there yet cannot be allowed.
			_ = os.MkdirAll(filepath.Dir(path), 0o755)
			n.Write = append(n.Write, privilege.Around(path)...)
		}
	}
	return n
}
