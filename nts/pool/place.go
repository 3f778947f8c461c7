package pool

import (
	"strings"
)

// Place is where a client or a source is.
type Place struct {
	Country   string // two capital letters, or empty if it is not known
	Continent string // "AF", "AN", "AS", "EU", "NA", "OC" or "SA", or empty
}

// PlaceOf is the place of a country, by its two letters of ISO 3166-1. It has
// no continent if there is no such country.
func PlaceOf(country string) Place {
	p := Place{Country: strings.ToUpper(country)}
	if len(p.Country) == 2 {
		for _, c := range continents {
			if strings.Contains(c.countries, p.Country+" ") {
				p.Continent = c.code
			}
		}
	}
	return p
}

// continents are the countries of ISO 3166-1 by continent, as databases of
// places have them; each code has a blank behind it.
var continents = []struct{ code, countries string }{
	{"AF", "AO BF BI BJ BW CD CF CG CI CM CV DJ DZ EG EH ER ET GA GH GM GN GQ GW KE KM LR LS LY MA MG ML MR MU MW MZ NA NE NG RE RW SC SD SH SL SN SO SS ST SZ TD TG TN TZ UG YT ZA ZM ZW "},
	{"AN", "AQ BV GS HM TF "},
	{"AS", "AE AF AM AZ BD BH BN BT CC CN CX GE HK ID IL IN IO IQ IR JO JP KG KH KP KR KW KZ LA LB LK MM MN MO MV MY NP OM PH PK PS QA SA SG SY TH TJ TM TR TW UZ VN YE "},
	{"EU", "AD AL AT AX BA BE BG BY CH CY CZ DE DK EE ES FI FO FR GB GG GI GR HR HU IE IM IS IT JE LI LT LU LV MC MD ME MK MT NL NO PL PT RO RS RU SE SI SJ SK SM UA VA XK "},
	{"NA", "AG AI AW BB BL BM BQ BS BZ CA CR CU CW DM DO GD GL GP GT HN HT JM KN KY LC MF MQ MS MX NI PA PM PR SV SX TC TT US VC VG VI "},
	{"OC", "AS AU CK FJ FM GU KI MH MP NC NF NR NU NZ PF PG PN PW SB TK TL TO TV UM VU WF WS "},
	{"SA", "AR BO BR CL CO EC FK GF GY PE PY SR UY VE "},
}

// tier is how near a source is to a client.
type tier uint8

const (
	sameCountry tier = iota
	sameContinent
	elsewhere // or not known
	tiers     = 3
)

// nearness is the factor on the weight of a source in each tier, where sources
// of several tiers are drawn from together.
var nearness = [tiers]uint64{10, 5, 1}

func tierOf(client, source Place) tier {
	switch {
	case client.Country != "" && client.Country == source.Country:
		return sameCountry
	case client.Continent != "" && client.Continent == source.Continent:
		return sameContinent
	default:
		return elsewhere
	}
}
