package pool

import (
	"fmt"
	"net/netip"

	"github.com/oschwald/maxminddb-golang/v2"
)

// Geo is a database of places by address, in the format of MaxMind. Databases
// of countries and those of cities have what is needed.
type Geo struct {
	db *maxminddb.Reader
}

// geoRemedy is what to do about a file that is no good.
const geoRemedy = "; unpack or download it anew (a file of GeoLite2-Country or of its like ends in .mmdb), or leave geolocation-path out"

// OpenGeo reads a database. It is held in memory: the file may be replaced at
// any time. The caller says in its error which file it is.
func OpenGeo(data []byte) (*Geo, error) {
	db, err := maxminddb.OpenBytes(data)
	if err != nil {
		return nil, fmt.Errorf("this is no database of places in MaxMind's format: %w%s", err, geoRemedy)
	}
	g := &Geo{db: db}
	var any map[string]struct{}
	if err := db.Lookup(netip.MustParseAddr("2001:db8::1")).Decode(&any); err != nil {
		if err := db.Lookup(netip.MustParseAddr("192.0.2.1")).Decode(&any); err != nil {
			return nil, fmt.Errorf("the database of places is damaged: %w%s", err, geoRemedy)
		}
	}
	return g, nil
}

// Type is what the database calls itself, such as GeoLite2-Country.
func (g *Geo) Type() string { return g.db.Metadata.DatabaseType }

// Built is when the database was made, in seconds since 1970.
func (g *Geo) Built() int64 { return int64(g.db.Metadata.BuildEpoch) }

// record is the part of an entry that is looked at.
type geoRecord struct {
	Country    geoCountry `maxminddb:"country"`
	Registered geoCountry `maxminddb:"registered_country"`
	Continent  struct {
		Code string `maxminddb:"code"`
	} `maxminddb:"continent"`
}

type geoCountry struct {
	Code string `maxminddb:"iso_code"`
}

// Locate is where an address is, as far as the database knows. Only its network
// is looked up, and nothing is kept.
func (g *Geo) Locate(addr netip.Addr) Place {
	var r geoRecord
	if err := g.db.Lookup(addr.Unmap()).Decode(&r); err != nil {
		return Place{}
	}
	code := r.Country.Code
	if code == "" {
		code = r.Registered.Code
	}
	p := PlaceOf(code)
	if r.Continent.Code != "" {
		p.Continent = r.Continent.Code
	}
	return p
}
