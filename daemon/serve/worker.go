package serve

import (
	"sync/atomic"

	"github.com/ntpd-go/ntpd-go/daemon/netio"
	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/cookie"
	"github.com/ntpd-go/ntpd-go/proto/server"
)

// Limits of batching. A response's transmit timestamp is read before those
// behind it are made, so responses leave together only while that costs less
// than it saves: a system call.
const (
	batchLen   = 64                     // requests received together
	flushCount = 24                     // responses sent together
	flushAfter = proto.Second / 100_000 // 10 µs between the first and the last
)

// worker answers the requests of one socket.
type worker struct {
	socket    *netio.ServerSocket
	responder *server.Responder
	clock     Clock
	rx        converter
	snapshot  *atomic.Pointer[server.TimeSnapshot]
	keys      *atomic.Pointer[cookie.Keyset]
	counters  *server.Counters
	tally     *server.Tally
	shed      shedder

	batch    *netio.ServerBatch
	verdicts [batchLen]server.Verdict
	now      func() proto.Timestamp // readClock, made once
	transmit proto.Timestamp        // the latest transmit timestamp
	oldest   proto.Timestamp        // that of the first response in the queue
}

func newWorker(socket *netio.ServerSocket, policy server.Config, counters *server.Counters, tally *server.Tally, cfg *Config) *worker {
	w := &worker{
		socket:    socket,
		responder: server.New(policy, cfg.Entropy),
		clock:     cfg.Clock,
		rx:        converter{clock: cfg.Clock},
		snapshot:  cfg.Snapshot,
		keys:      cfg.Keys,
		counters:  counters,
		tally:     tally,
		batch:     netio.NewServerBatch(batchLen),
	}
	w.now = w.readClock
	return w
}

// run answers until the socket fails or is closed, and returns why.
func (w *worker) run() error {
	for {
		if err := w.serve(); err != nil {
			return err
		}
	}
}

// serve answers one batch of requests.
func (w *worker) serve() error {
	n, err := w.socket.Receive(w.batch)
	if err != nil {
		return err
	}
	snapshot, keys, mono := w.snapshot.Load(), w.keys.Load(), boottime()
	w.rx.begin(n, w.batch.Datagram(0).Stamp.At, w.batch.Datagram(n-1).Stamp.At)
	for i := range n {
		w.answer(i, snapshot, keys, mono)
	}
	w.flush()
	w.remember(n, mono)
	w.relieve(n, mono)
	return nil
}

// relieve has the kernel refuse what the worker cannot keep up with. A kernel
// that knows no filters goes on without.
func (w *worker) relieve(n int, mono proto.Instant) {
	for i := range n {
		w.shed.count(w.batch.Datagram(i).From.Addr(), w.verdicts[i])
	}
	if !w.shed.decide(mono, w.socket.Dropped()) {
		return
	}
	if w.shed.on {
		_ = w.socket.Shed(w.shed.shed)
		return
	}
	_ = w.socket.Unshed()
}

// remember counts who asked, when the answers have left.
func (w *worker) remember(n int, mono proto.Instant) {
	if w.tally == nil {
		return
	}
	for i := range n {
		w.tally.Count(mono, w.batch.Datagram(i).From.Addr(), w.verdicts[i])
	}
}

// answer makes the response to one request and queues it.
func (w *worker) answer(i int, snapshot *server.TimeSnapshot, keys *cookie.Keyset, mono proto.Instant) {
	d := w.batch.Datagram(i)
	if d.Group {
		w.verdicts[i] = server.WrongTarget
		w.counters.Count(server.WrongTarget)
		return
	}
	q := server.Request{Payload: d.Payload, From: d.From, To: d.To, Rx: w.rx.convert(d.Stamp), Mono: mono}
	response, verdict := w.responder.Respond(w.batch.Buffer(i), q, snapshot, keys, w.now)
	w.verdicts[i] = verdict
	w.counters.Count(verdict)
	if !verdict.Answered() {
		return
	}
	if w.batch.Queued() == 0 {
		w.oldest = w.transmit
	}
	w.batch.Queue(i, response)
	if w.batch.Queued() == flushCount || w.transmit.Sub(w.oldest) > flushAfter {
		w.flush()
	}
}

// flush sends what is queued.
func (w *worker) flush() {
	if failed := w.socket.Send(w.batch); failed > 0 {
		w.counters.SendError(failed)
	}
}

// readClock reads the transmit timestamp, and 0 on failure.
func (w *worker) readClock() proto.Timestamp {
	t, err := w.clock.Now()
	if err != nil {
		return 0
	}
	w.transmit = t
	return t
}
