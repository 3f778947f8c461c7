#!/bin/sh
# Make a key and a certificate for an NTS server, signed by a test authority.
#
#     ./gen-cert.sh NAME [SAN ...]
#
# makes, in the current folder,
#
#     NAME.key             the server's private key
#     NAME.pem             its certificate: what authorized-pool-server-certificates takes
#     NAME.fullchain.pem   the certificate and its authority: certificate-chain-path
#
# and, unless they are there, testca.key and testca.pem, the authority:
# certificate-authority. The certificate is for NAME, localhost, 127.0.0.1, ::1,
# and every further SAN, which is an address or a domain name.
#
# DAYS (default 7300) is how long certificates are valid.
set -eu

die() {
	echo "gen-cert.sh: $*" >&2
	exit 64
}

[ $# -ge 1 ] || die "no name given (usage: gen-cert.sh NAME [SAN ...])"
name=$1
shift
case $name in
testca) die "testca is the authority's own name; choose another" ;;
'' | -* | */* | *[!A-Za-z0-9._-]*) die "'$name' is not a name; use letters, digits, dots and hyphens" ;;
esac
command -v openssl >/dev/null || die "openssl is not installed"

days=${DAYS:-7300}
umask 077

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

# san prints a subject alternative name as OpenSSL spells it.
san() {
	case $1 in
	*:*) echo "IP:$1" ;;
	*[!0-9.]*) echo "DNS:$1" ;;
	*) echo "IP:$1" ;;
	esac
}

# make_key and make_cert SUBJECT EXTENSIONS SIGNER... write $work/new.key and
# $work/new.pem. The certificate is valid from the start of 2024, so that a
# machine whose clock is a little behind takes it too; "openssl ca" is the
# command that can say so in every version.
make_key() {
	openssl ecparam -name prime256v1 -genkey -noout -out "$work/new.ec"
	openssl pkcs8 -topk8 -nocrypt -in "$work/new.ec" -out "$work/new.key"
}
make_cert() {
	subject=$1
	extensions=$2
	shift 2
	cat >"$work/ca.cnf" <<-END
		[req]
		prompt = no
		distinguished_name = dn
		[dn]
		CN = $subject
		[ca]
		default_ca = this
		[this]
		database = $work/index
		serial = $work/serial
		new_certs_dir = $work
		default_md = sha256
		policy = any
		x509_extensions = ext
		unique_subject = no
		[any]
		commonName = supplied
		[ext]
		$extensions
	END
	: >"$work/index"
	echo "01$(openssl rand -hex 15)" >"$work/serial"
	openssl req -new -config "$work/ca.cnf" -key "$work/new.key" -out "$work/new.csr"
	openssl ca -batch -notext -config "$work/ca.cnf" -in "$work/new.csr" -out "$work/new.pem" \
		-startdate 20240101000000Z -days "$days" "$@" 2>"$work/log" || {
		cat "$work/log" >&2
		exit 1
	}
}

if [ ! -f testca.key ] || [ ! -f testca.pem ]; then
	[ ! -f testca.key ] && [ ! -f testca.pem ] ||
		die "only one of testca.key and testca.pem is here; remove it to make a new authority"
	make_key
	make_cert "ntpd-go test authority" "basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash" -selfsign -keyfile "$work/new.key"
	mv "$work/new.key" testca.key
	mv "$work/new.pem" testca.pem
fi

names=$(san "$name")
for other in localhost 127.0.0.1 ::1 "$@"; do
	names="$names, $(san "$other")"
done

# keyUsage: a TLS 1.3 server signs, and clients with GnuTLS refuse a
# certificate that does not allow it.
make_key
make_cert "$name" "basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth, clientAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = $names" -cert testca.pem -keyfile testca.key

cat "$work/new.pem" testca.pem >"$work/chain.pem"
mv "$work/new.key" "$name.key"
mv "$work/new.pem" "$name.pem"
mv "$work/chain.pem" "$name.fullchain.pem"
chmod 644 "$name.pem" "$name.fullchain.pem" testca.pem
echo "made $name.key, $name.pem and $name.fullchain.pem for $names"
