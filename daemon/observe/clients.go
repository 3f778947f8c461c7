package observe

// ClientsSchema is the version of ClientList.
const ClientsSchema = 1

// ClientList is who asks the NTP servers: `ntp-ctl clients --json` prints it;
// schema/clients-1.json describes it. It goes over the control socket, not over
// the observation socket, which everybody may read.
type ClientList struct {
	Schema     int      `json:"schema"`
	Scope      string   `json:"scope"`      // address or network: how exactly clients are remembered
	LastHour   uint64   `json:"last_hour"`  // about how many different clients asked in the last hour
	Remembered int      `json:"remembered"` // of which Clients are the most frequent
	Clients    []Client `json:"clients"`
}

// Client is one client, or one network. Times are in seconds.
type Client struct {
	Client   string   `json:"client"` // an address, or a prefix
	Requests uint64   `json:"requests"`
	Missed   uint64   `json:"missed_at_most"` // requests before it was remembered
	NTS      uint64   `json:"nts"`            // requests with NTS that were judged
	Limited  uint64   `json:"rate_limited"`
	Denied   uint64   `json:"denied"`
	KnownFor float64  `json:"known_for"`
	Age      float64  `json:"age"`      // since the last request, to 1/8 s
	Interval *float64 `json:"interval"` // mean time between requests; nil when there was one
}

// Interval is the mean time between a number of requests over a time.
func Interval(requests uint64, between float64) *float64 {
	if requests < 2 {
		return nil
	}
	v := between / float64(requests-1)
	return &v
}
