package daemon

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ntpd-go/ntpd-go/clock"
	"github.com/ntpd-go/ntpd-go/daemon/activation"
	"github.com/ntpd-go/ntpd-go/daemon/assemble"
	"github.com/ntpd-go/ntpd-go/daemon/config"
	"github.com/ntpd-go/ntpd-go/daemon/control"
	"github.com/ntpd-go/ntpd-go/daemon/history"
	"github.com/ntpd-go/ntpd-go/daemon/netio"
	"github.com/ntpd-go/ntpd-go/daemon/observe"
	"github.com/ntpd-go/ntpd-go/daemon/serve"
	"github.com/ntpd-go/ntpd-go/internal/cli"
	"github.com/ntpd-go/ntpd-go/internal/version"
	"github.com/ntpd-go/ntpd-go/nts/ke"
	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/engine"
	"github.com/ntpd-go/ntpd-go/proto/server"
)

// Options is what a daemon needs of the world.
type Options struct {
	Config *config.Config
	Clock  clock.Clock // the system's is taken control of when all is bound and read
	// ClockName says which clock it is: ClockSystem or ClockSoftware.
	ClockName string
	// Workers is how many sockets answer at each address of the NTP server; 0
	// means one.
	Workers int
	Log     *slog.Logger
	// Strange logs what strangers can cause, a few lines a minute.
	Strange *slog.Logger
	// Confine gives up what is not needed once all is bound and read; nil
	// keeps everything.
	Confine func()
	// Apart is the program that serves key exchanges in a process of its own:
	// this one, which calls apart.Main then. If it is empty they are served
	// here.
	Apart string
	// Handed are the sockets that the service manager opened, or nil.
	Handed *activation.Sockets
	// Notify is the service manager's socket, empty without one.
	Notify string
	// Load reads the configuration anew; nil when there is none to read.
	Load Loader
	// Reload is told when to do so.
	Reload <-chan struct{}
	// Record is a new file for a recording of the run, empty for none.
	Record string
	// Text is what the configuration was read from, for a recording.
	Text []byte
}

// daemon is everything that runs.
type daemon struct {
	Options
	files     atomic.Pointer[files]
	keys      *keyring
	ntp       *serve.Server
	ke        keyServers
	observer  net.Listener
	control   net.Listener
	history   *history.Ring
	diary     *diary
	tape      *tape // nil without a recording
	proxies   *netio.Proxies
	snapshot  atomic.Pointer[server.TimeSnapshot]
	status    atomic.Pointer[engine.Status]
	precision int8
	started   time.Time
	now       func() (proto.Now, error)
}

// Run starts everything that the configuration asks for and keeps it running
// until the context ends. An error carries its exit code for cli.Code. All
// addresses are bound and all files are read before anything runs, so that a
// daemon that cannot do its work says so at once and changes nothing.
func Run(ctx context.Context, o Options) error { return newDaemon(o).begin(ctx) }

func newDaemon(o Options) *daemon {
	d := &daemon{Options: o, started: time.Now(), proxies: newProxies(o.Config)}
	d.now = func() (proto.Now, error) { return clock.Read(d.Clock) }
	return d
}

func (d *daemon) begin(ctx context.Context) error {
	if err := d.prepare(ctx); err != nil {
		return err
	}
	defer d.tape.close()
	if d.Confine != nil {
		d.Confine()
	}
	return d.run(ctx)
}

// prepare reads and binds.
func (d *daemon) prepare(ctx context.Context) error {
	files, problems := readFiles(d.Config, d.started)
	if err := problems.Err(); err != nil {
		return cli.Exit(fileCode(problems), err)
	}
	for _, w := range files.warnings {
		d.Log.Warn(w.String(), "code", "config-warning")
	}
	d.files.Store(files)
	var err error
	if d.precision, err = readingTime(d.Clock); err != nil {
		return cli.Exit(cli.NoPermission, fmt.Errorf("could not read the clock: %w", err))
	}
	err = d.prepareServers(ctx)
	d.reportHanded() // which may be why it failed
	if err != nil {
		return err
	}
	if d.observer, err = d.listenObserver(); err != nil {
		return err
	}
	d.control = d.listenControl()
	if d.Record != "" {
		d.tape, err = newTape(d.Record, d.Text, d.Config, d.Log)
	}
	return err
}

// prepareServers opens the key ring and binds the servers, if there are any.
func (d *daemon) prepareServers(ctx context.Context) error {
	if len(d.Config.Servers) == 0 && len(d.Config.NTSKEServers) == 0 {
		return nil
	}
	k := &d.Config.Keyset
	var err error
	d.keys, err = openKeyring(keyringConfig{
		path: k.KeyStoragePath, stale: k.StaleKeyCount, every: k.KeyRotationInterval,
		entropy: rand.Reader, now: time.Now, log: d.Log,
	})
	if err != nil {
		return cli.Exit(cli.Software, err)
	}
	if d.ntp, err = d.newServer(); err != nil {
		return err
	}
	if err := d.newKeyServers(ctx); err != nil {
		return err
	}
	for i := range d.Config.NTSKEServers {
		d.Log.Info("listening for NTS key exchange", "listen", d.Config.NTSKEServers[i].Listen.String())
	}
	return nil
}

// reportHanded says what became of sockets that the service manager opened.
func (d *daemon) reportHanded() {
	n := d.Handed.Len()
	for _, what := range d.Handed.Unused() {
		d.Log.Warn("nobody listens on a socket that the service manager handed over: no listen in the configuration has its address", "code", "socket-unused", "socket", what)
		n--
	}
	if n > 0 {
		d.Log.Info("serving on sockets that the service manager handed over", "sockets", n)
	}
}

// listenObserver opens the observation socket. Time matters more than being
// watched: without the socket the daemon runs all the same.
func (d *daemon) listenObserver() (net.Listener, error) {
	o := &d.Config.Observability
	if o.ObservationPath == "" {
		return nil, nil
	}
	l, err := observe.Listen(o.ObservationPath, fs.FileMode(o.ObservationPermissions&0o777))
	if err != nil {
		d.Log.Warn("the state observer will not be available: "+err.Error(), "code", "observer")
		return nil, nil
	}
	return l, nil
}

// listenControl opens the control socket. Like the observation socket it is not
// worth the time.
func (d *daemon) listenControl() net.Listener {
	path := d.Config.Observability.ControlPath
	if path == "" {
		return nil
	}
	l, err := control.Listen(path)
	if err != nil {
		d.Log.Warn("ntp-ctl cannot command this daemon: "+err.Error(), "code", "control")
		return nil
	}
	return l
}

// run keeps everything running until the context ends or something fails for
// good. The engine has had its first turn when the servers begin, so that they
// know what to say of the clock when they are called ready.
func (d *daemon) run(ctx context.Context) error {
	l, err := d.takeClock()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	var all sync.WaitGroup
	_, loopErr := l.turn(ctx)
	if loopErr != nil {
		l.closeAll()
	} else {
		d.startAll(l, func(what string, f func(context.Context) error) {
			all.Go(func() {
				if err := f(ctx); err != nil {
					cancel(fmt.Errorf("%s: %w", what, err))
				}
			})
		})
		if err := cli.Notify(d.Notify, "READY=1"); err != nil {
			d.Log.Warn("could not tell the service manager that the daemon is ready", "code", "service-manager", "error", err)
		}
		loopErr = l.run(ctx)
	}
	cancel(nil)
	all.Wait()
	return d.verdict(loopErr, context.Cause(ctx))
}

// takeClock takes control of the clock, has it go on as was saved, and makes
// the loop that steers it.
func (d *daemon) takeClock() (*loop, error) {
	keep := &saved{path: d.statePath(), log: d.Log}
	st, known := keep.load()
	if err := take(d.Clock); err != nil {
		return nil, cli.Exit(cli.Software, err)
	}
	st, err := resume(d.Clock, st, known)
	if err != nil {
		return nil, cli.Exit(cli.Software, fmt.Errorf("could not run the clock at its saved frequency: %w", err))
	}
	now, err := d.now()
	if err != nil {
		return nil, cli.Exit(cli.NoPermission, fmt.Errorf("could not read the clock: %w", err))
	}
	d.history = history.New(now)
	d.diary = newDiary(d.Log, now, func() *observe.Report {
		s := d.state()
		return observe.NewReport(&s, time.Now())
	})
	kept := d.newSessions()
	l, err := newLoop(loop{
		clock: d.Clock, now: d.now, log: d.Log,
		lookup: netio.Resolver{Proxies: d.proxies}.Lookup, locate: locator(systemResolvers), exchange: exchanger(&d.files, d.proxies, d.Clock), proxies: d.proxies,
		publish: d.publish, observe: d.observe, save: keep.save, slewing: keep.slewing, keep: kept.keep, tape: d.tape,
	}, assemble.Engine(d.Config), st, rand.Reader)
	if err != nil {
		return nil, cli.Exit(cli.NoPermission, fmt.Errorf("could not read the clock: %w", err))
	}
	if all := kept.claim(); len(all) > 0 {
		l.queue = append(l.queue, engine.Restored{Sessions: all})
	}
	if local, err := netio.LocalAddrs(); err == nil { // before any name is looked up that may lead here
		l.queue = append(l.queue, d.network(local))
	}
	return l, nil
}

// startAll starts everything but the loop.
func (d *daemon) startAll(l *loop, start func(what string, f func(context.Context) error)) {
	if d.keys != nil {
		start("cookie keys", func(ctx context.Context) error { d.keys.run(ctx); return nil })
		start("NTP server", func(ctx context.Context) error { d.ntp.Serve(ctx); return nil })
	}
	if d.ke.apart != nil {
		start("key exchange", func(ctx context.Context) error { d.ke.apart.Run(ctx); return nil })
	}
	for _, s := range d.ke.here {
		start("abnormal termination of NTS KE server", s.Serve)
	}
	if d.observer != nil {
		start("state observer", d.serveObserver)
	}
	commands := &commander{d: d, post: l.post, running: d.Config}
	if d.control != nil {
		start("control", func(ctx context.Context) error { return d.serveControl(ctx, commands) })
	}
	start("reload", func(ctx context.Context) error { commands.onHangup(ctx, d.Reload); return nil })
	start("clock watch", func(ctx context.Context) error { d.watch(ctx, l); return nil })
}

// verdict picks the exit code for why everything ended.
func (d *daemon) verdict(loopErr, cause error) error {
	if _, halted := errors.AsType[*halt](loopErr); halted {
		return cli.Exit(cli.Software, loopErr)
	}
	if loopErr != nil {
		return cli.Exit(cli.NoPermission, fmt.Errorf("could not read the clock: %w", loopErr))
	}
	if cause != nil && !errors.Is(cause, context.Canceled) {
		return cli.Exit(cli.Software, cause)
	}
	return nil
}

// serveControl warns when the socket fails, and lets the rest run.
func (d *daemon) serveControl(ctx context.Context, c *commander) error {
	if err := control.Serve(ctx, d.control, d.Strange, c.handle); err != nil {
		d.Log.Warn("ntp-ctl can no longer command this daemon", "code", "control", "error", err)
	}
	return nil
}

// serveObserver warns when the socket fails, and lets the rest run.
func (d *daemon) serveObserver(ctx context.Context) error {
	if err := observe.Serve(ctx, d.observer, d.state); err != nil {
		d.Log.Warn("the state observer is no longer available", "code", "observer", "error", err)
	}
	return nil
}

// publish hands a snapshot to the NTP server workers.
func (d *daemon) publish(s engine.Snapshot) { d.snapshot.Store(timeSnapshot(&s, d.precision)) }

// observe keeps the status for the observation socket.
func (d *daemon) observe(s engine.Status, now proto.Now) {
	d.history.Record(&s, now)
	d.status.Store(&s)
	d.diary.look(&s, now)
}

// state is the document of the observation socket at this moment.
func (d *daemon) state() observe.State {
	commit, date := version.Commit()
	s := observe.State{
		Program: observe.Program{
			Version: version.Release, BuildCommit: commit, BuildCommitDate: date,
			UptimeSeconds: time.Since(d.started).Seconds(),
		},
		Sources: []observe.Source{}, Servers: []observe.Server{},
	}
	if d.ntp != nil {
		s.Servers = serverStats(d.Config, d.ntp)
	}
	st := d.status.Load()
	now, err := d.now()
	if st == nil || err != nil {
		return s
	}
	s.Program.Now = observe.Timestamp{Timestamp: uint64(now.Wall)}
	threshold := assemble.Accumulated(d.Config.Synchronization.AccumulatedStepPanic)
	s.System, s.Sources, s.Own = observe.FromStatus(st, now, threshold, (proto.Second >> -d.precision).Seconds())
	s.Own.Clock, s.Own.KeyHosts = d.ClockName, d.keyHosts()
	if d.ntp != nil {
		addServed(s.Own, d.ntp)
	}
	return s
}

// keyExchangeOutcome logs what a client of a key-exchange server caused.
func (d *daemon) keyExchangeOutcome(o ke.Outcome) {
	level := slog.LevelDebug
	switch o.Kind {
	case ke.AcceptFailed:
		level = slog.LevelWarn
	case ke.Panicked:
		level = slog.LevelError // a fault of ours
	}
	d.Strange.Log(context.Background(), level, "NTS key exchange: "+o.Kind.String(), "code", "key-exchange-served", "source_address", o.Remote.String(), "detail", o.Detail)
}
