// Package convert makes of a message one that a server can take which takes less
// than the message has: octets above 127 where 8BITMIME is not offered (RFC
// 6152, section 3), and lines that are longer than 998 octets (RFC 5321, section
// 4.5.3.1.6).
//
// What is in the way is encoded as quoted-printable where it is text and as
// base64 where it is not, part by part (RFC 2045, section 6); all else stays as
// it is. What is signed or encrypted as a MIME part (RFC 1847) is never touched.
//
// A message is read twice, and never held in memory: a Survey finds what its
// parts have, a Plan says what is done to each, and a reader does it.
package convert
