package daemon

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"sync/atomic"
	"time"

	"github.com/ntpd-go/ntpd-go/daemon/assemble"
	"github.com/ntpd-go/ntpd-go/daemon/config"
	"github.com/ntpd-go/ntpd-go/internal/cli"
	"github.com/ntpd-go/ntpd-go/internal/version"
	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/engine"
	"github.com/ntpd-go/ntpd-go/proto/recording"
)

// Bounds of a recording. A source that is polled every 64 s makes some 0.1 MB
// an hour, and what is published every four seconds 0.3 MB.
const (
	maxTape   = 256 << 20       // octets; the recording ends there
	tapeQueue = 1024            // lines that wait for the disk
	tapeClose = 2 * time.Second // how long the end waits for the disk
)

// tape writes a recording of what goes into the engine and comes out of it.
// Time matters more than being recorded: whatever goes wrong ends the
// recording, with one warning, and nothing else. A nil tape records nothing.
type tape struct {
	recorder *recording.Recorder
	toml     string
	file     tapeFile
	name     string
	log      *slog.Logger
	limit    int64

	lines chan []byte
	done  chan struct{} // closed when all is written
	size  int64         // of what was queued
	over  bool          // nothing is queued any more
	broke atomic.Bool   // the disk refused
}

// tapeFile is what a tape needs of a file.
type tapeFile interface {
	io.WriteCloser
	Truncate(size int64) error
}

// newTape begins a recording in a new file, for its owner's eyes. text is the
// configuration file of cfg.
func newTape(path string, text []byte, cfg *config.Config, log *slog.Logger) (*tape, error) {
	toml, err := config.ClientPart(text)
	if err != nil {
		return nil, cli.Exit(cli.Config, fmt.Errorf("--record: %w", err))
	}
	reduced, problems := config.Parse("ntp.toml", toml)
	if len(problems) > 0 || !reflect.DeepEqual(assemble.Engine(reduced), assemble.Engine(cfg)) {
		return nil, cli.Exit(cli.Config, errors.New("--record: the configuration cannot be reduced to what concerns sources; has the file changed since the start?"))
	}
	var secret [32]byte
	if _, err := rand.Read(secret[:]); err != nil {
		return nil, cli.Exit(cli.Software, fmt.Errorf("--record: no randomness: %w", err))
	}
	if path, err = filepath.Abs(path); err != nil {
		return nil, cli.Exit(cli.Software, fmt.Errorf("--record: %w", err))
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	switch {
	case errors.Is(err, fs.ErrExist):
		return nil, cli.Exit(cli.Usage, fmt.Errorf("--record: %s exists and is not overwritten; name a new file, or remove it", path))
	case err != nil:
		return nil, cli.Exit(cli.Software, fmt.Errorf("--record: could not make the file: %w", err))
	}
	log.Info("recording what the clock is told and does; addresses are in the file, keys and cookies are not", "file", path)
	return roll(&tape{recorder: recording.NewRecorder(secret), toml: string(toml), file: f, name: path, log: log, limit: maxTape}), nil
}

// roll starts the writer.
func roll(t *tape) *tape {
	t.lines, t.done = make(chan []byte, tapeQueue), make(chan struct{})
	go t.write()
	return t
}

// entropy is the engine's source of randomness.
func (t *tape) entropy(from io.Reader) io.Reader {
	if t == nil {
		return from
	}
	return t.recorder.Entropy(from)
}

// begin records how the engine was made.
func (t *tape) begin(now proto.Now, saved engine.State) {
	if t == nil {
		return
	}
	t.put(t.recorder.Head(recording.Head{Program: "ntpd-go " + version.Release, Config: t.toml, Now: now, Saved: saved}))
}

// step records a call of the engine, before its actions are carried out; ev is
// nil for Advance.
func (t *tape) step(now proto.Now, ev engine.Event, actions []engine.Action) {
	if t == nil || t.over {
		return
	}
	t.put(t.recorder.Step(now, ev, actions))
}

// put queues a line for the disk.
func (t *tape) put(line []byte, err error) {
	switch {
	case t.broke.Load():
		t.finish("")
	case err != nil:
		t.stop(err.Error())
	case t.size+int64(len(line)) > t.limit:
		t.stop(fmt.Sprintf("it has reached its limit of %d MiB", t.limit>>20))
	default:
		t.size += int64(len(line))
		select {
		case t.lines <- line:
		default:
			t.stop("the disk cannot keep up")
		}
	}
}

// stop ends the recording before the daemon ends.
func (t *tape) stop(why string) {
	t.log.Warn("the recording has ended; the daemon goes on", "code", "recording-ended", "file", t.name, "why", why)
	t.finish(why)
}

// finish queues the last line, if there is one, and no more.
func (t *tape) finish(why string) {
	if t.over {
		return
	}
	t.over = true
	if why != "" {
		select {
		case t.lines <- recording.End(why):
		default:
		}
	}
	close(t.lines)
}

// close ends the recording with the daemon. It does not wait for long.
func (t *tape) close() {
	if t == nil {
		return
	}
	t.finish("the daemon ended")
	late := time.NewTimer(tapeClose)
	defer late.Stop()
	select {
	case <-t.done:
	case <-late.C:
		t.log.Warn("the disk has not taken the end of the recording", "code", "recording-ended", "file", t.name)
	}
}

// write puts lines on the disk. When that fails, what was written of a line is
// taken back, so that all that is left is whole.
func (t *tape) write() {
	defer close(t.done)
	defer t.file.Close()
	var good int64
	for line := range t.lines {
		if t.broke.Load() {
			continue
		}
		if _, err := t.file.Write(line); err != nil {
			t.broke.Store(true)
			_ = t.file.Truncate(good) // a line that is cut off is found when it is read
			t.log.Warn("the recording has ended; the daemon goes on", "code", "recording-ended", "file", t.name, "why", err.Error())
			continue
		}
		good += int64(len(line))
	}
}
