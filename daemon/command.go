package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ntpd-go/ntpd-go/daemon/assemble"
	"github.com/ntpd-go/ntpd-go/daemon/config"
	"github.com/ntpd-go/ntpd-go/daemon/control"
	"github.com/ntpd-go/ntpd-go/daemon/observe"
	"github.com/ntpd-go/ntpd-go/proto/engine"
)

// commander carries out what an operator commands, one command at a time.
type commander struct {
	d    *daemon
	post func(context.Context, engine.Event)

	mu      sync.Mutex
	running *config.Config // with the sources that were added and without those that were removed
	changes
}

// changes are what was done to the sources of the file at run time. They
// outlive a reload, not a restart.
type changes struct {
	added   []addition
	removed []string // names of sources in the file
}

// addition is a source that was added at run time.
type addition struct{ name, table string }

// tables are the additions as they would stand in the file.
func (c changes) tables() string {
	var all strings.Builder
	for _, a := range c.added {
		all.WriteString("\n" + a.table)
	}
	return all.String()
}

func (c changes) gone(s *config.Source) bool { return slices.Contains(c.removed, sourceName(s)) }

// sourceName is what a source is called: whom it asks, or its device.
func sourceName(s *config.Source) string {
	if s.Path != "" {
		return s.Path
	}
	return s.Address.String()
}

// handle is the control socket's handler.
func (c *commander) handle(ctx context.Context, r control.Request) control.Answer {
	answer, err := c.do(ctx, r)
	switch {
	case err != nil:
		c.d.Log.Warn("a command was not carried out", "code", "command-failed", "verb", string(r.Verb), "error", err)
		return control.Refused(lines(err)...)
	case r.Verb != control.SourceList && r.Verb != control.History && r.Verb != control.Clients:
		c.d.Log.Info("a command was carried out", "code", "command", "verb", string(r.Verb), "did", strings.Join(answer.Text, "; "))
	}
	return answer
}

// lines are the messages of an error that may join several.
func lines(err error) []string { return strings.Split(err.Error(), "\n") }

func (c *commander) do(ctx context.Context, r control.Request) (control.Answer, error) {
	switch r.Verb {
	case control.Reload:
		return c.reload(ctx)
	case control.AcceptStep:
		return c.acceptStep(ctx)
	case control.SourceList:
		return c.list(), nil
	case control.SourceAdd:
		return c.add(ctx, r.Config)
	case control.SourceRemove:
		return c.remove(ctx, r.Source)
	case control.SourceRefresh:
		return c.refresh(ctx, r.Source)
	case control.KeysRotate:
		return c.rotate()
	case control.History:
		return c.history(r.Since)
	case control.Clients:
		return c.clients(r.Top)
	default:
		return control.Answer{}, fmt.Errorf("the daemon does not know the command %q; use the ntp-ctl of its release", r.Verb)
	}
}

// send hands an event to the loop, which may be busy for a moment.
func (c *commander) send(ctx context.Context, ev engine.Event) error {
	c.post(ctx, ev)
	if ctx.Err() != nil {
		return errors.New("the daemon is too busy or about to end; try again")
	}
	return nil
}

func (c *commander) reload(ctx context.Context) (control.Answer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	did, err := c.change(ctx, c.changes)
	if err != nil {
		return control.Answer{}, fmt.Errorf("the old configuration stays in use: %w", err)
	}
	return control.Did(did...), nil
}

// change puts a configuration into use, with sources added and removed. When
// anything is wrong with it, nothing changes.
func (c *commander) change(ctx context.Context, to changes) ([]string, error) {
	f, err := c.d.reread(to.tables(), to.gone)
	if err != nil {
		return nil, err
	}
	restart := needRestart(c.d.Config, f.cfg)
	for _, w := range restart {
		c.d.Log.Warn(w, "code", "reload-restart")
	}
	if f.cfg.Synchronization.UpdateSystemClock && len(c.d.Config.Sources) == 0 && len(f.cfg.Sources) > 0 {
		// Nobody has taken the system's clock: there is nothing to steer.
		return nil, errors.New("the daemon was started without sources and cannot steer the clock; restart it")
	}
	c.d.proxies.SetPasswords(proxyPasswords(f.cfg)) // before they are needed
	if err := c.send(ctx, engine.Reconfigured{Config: assemble.Engine(f.cfg)}); err != nil {
		return nil, err
	}
	c.d.take(f)
	if c.d.keys != nil {
		c.d.keys.configure(f.cfg.Keyset.StaleKeyCount, f.cfg.Keyset.KeyRotationInterval)
		if err := c.d.keys.reread(); err != nil {
			restart = append(restart, "the stored cookie keys stay as they are: "+err.Error())
		}
	}
	c.running, c.changes = f.cfg, to
	did := []string{fmt.Sprintf("%d sources and the files of %s are in use", len(f.cfg.Sources), f.cfg.Pos.File)}
	for _, w := range f.files.warnings {
		did = append(did, "warning: "+w.String())
	}
	return append(did, restart...), nil
}

func (c *commander) acceptStep(ctx context.Context) (control.Answer, error) {
	if err := c.send(ctx, engine.Commanded{Verb: string(control.AcceptStep)}); err != nil {
		return control.Answer{}, err
	}
	return control.Did("the accumulated steps count from zero again"), nil
}

// list names the sources, those that were removed too.
func (c *commander) list() control.Answer {
	c.mu.Lock()
	defer c.mu.Unlock()
	inFile := len(c.running.Sources) - len(c.added)
	all := []control.Source{}
	for i := range c.running.Sources {
		s := &c.running.Sources[i]
		all = append(all, control.Source{Index: i, Name: sourceName(s), Mode: s.Mode.String(), Count: max(s.Count, 1), Added: i >= inFile})
	}
	for _, name := range c.removed {
		all = append(all, control.Source{Index: -1, Name: name, Removed: true})
	}
	return control.Did().With(all)
}

// add uses another source from now on. One of the file that was removed comes
// back as the file has it.
func (c *commander) add(ctx context.Context, table string) (control.Answer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a, err := newAddition(table)
	if err != nil {
		return control.Answer{}, err
	}
	to, did := changes{slices.Clone(c.added), slices.Clone(c.removed)}, a.name+" is used from now on, until a restart"
	switch i := slices.Index(to.removed, a.name); {
	case i >= 0:
		to.removed = slices.Delete(to.removed, i, i+1)
		did = a.name + " is used again, as the configuration has it"
	case slices.ContainsFunc(c.running.Sources, func(s config.Source) bool { return sourceName(&s) == a.name }):
		return control.Answer{}, fmt.Errorf("%s is a source already", a.name)
	default:
		to.added = append(to.added, a)
	}
	more, err := c.change(ctx, to)
	if err != nil {
		return control.Answer{}, err
	}
	return control.Did(append([]string{did}, more[1:]...)...), nil
}

// newAddition reads the keys of one [[source]].
func newAddition(keys string) (addition, error) {
	for l := range strings.Lines(keys) {
		if strings.HasPrefix(strings.TrimSpace(l), "[") {
			return addition{}, errors.New("give the keys of one [[source]], without its head")
		}
	}
	a := addition{table: "[[source]]\n" + keys + "\n"}
	cfg, problems := config.Parse("source add", []byte(a.table))
	if err := problems.Err(); err != nil {
		return a, err
	}
	a.name = sourceName(&cfg.Sources[0])
	return a, nil
}

func (c *commander) remove(ctx context.Context, name string) (control.Answer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.IndexFunc(c.running.Sources, func(s config.Source) bool { return name != "" && (sourceName(&s) == name || s.Address.Host == name) })
	if i < 0 {
		return control.Answer{}, fmt.Errorf("there is no source %q; ntp-ctl source list names them", name)
	}
	name = sourceName(&c.running.Sources[i])
	to := changes{slices.Clone(c.added), slices.Clone(c.removed)}
	if j := slices.IndexFunc(to.added, func(a addition) bool { return a.name == name }); j >= 0 {
		to.added = slices.Delete(to.added, j, j+1)
	} else {
		to.removed = append(to.removed, name)
	}
	more, err := c.change(ctx, to)
	if err != nil {
		return control.Answer{}, err
	}
	return control.Did(append([]string{name + " is not used any more, until a restart"}, more[1:]...)...), nil
}

func (c *commander) refresh(ctx context.Context, name string) (control.Answer, error) {
	if err := c.send(ctx, engine.Commanded{Verb: string(control.SourceRefresh), Source: name}); err != nil {
		return control.Answer{}, err
	}
	return control.Did(cmp.Or(name, "every source") + " is asked again at once"), nil
}

func (c *commander) rotate() (control.Answer, error) {
	if c.d.keys == nil {
		return control.Answer{}, errors.New("this daemon serves nobody and has no cookie keys")
	}
	if err := c.d.keys.rotate(); err != nil {
		return control.Answer{}, err
	}
	return control.Did("new cookies are sealed with a new key"), nil
}

func (c *commander) history(since float64) (control.Answer, error) {
	now, err := c.d.now()
	if err != nil {
		return control.Answer{}, err
	}
	span := time.Duration(min(max(since, 0), 1e6) * float64(time.Second))
	return control.Did().With(c.d.history.Document(span, now, now.Wall.TimeNear(time.Now()))), nil
}

// keyHosts is what the observation socket says of key-exchange servers.
func (d *daemon) keyHosts() []observe.KeyHost {
	var all []observe.KeyHost
	var restarts *uint64
	if d.ke.apart != nil {
		restarts = new(d.ke.apart.Restarts())
	}
	for i, h := range d.ke.hosts {
		all = append(all, observe.KeyHost{
			Address: d.Config.NTSKEServers[i].Listen.String(), NotAfter: h.notAfter.Load(), Outcomes: h.outcomes(), Restarts: restarts,
		})
	}
	return all
}

// onHangup reloads whenever it is told to, until the context ends.
func (c *commander) onHangup(ctx context.Context, hangup <-chan struct{}) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
			if c.d.Load != nil {
				c.handle(ctx, control.Request{Verb: control.Reload})
			}
		}
	}
}
