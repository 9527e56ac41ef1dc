// Package aliases reads what addresses stand for: files in the form of
// /etc/aliases (aliases(5)) and the lists of items in them, in files that they
// include, and in redirects that a configuration writes out.
//
// A file has entries "key: items". An entry goes on in lines that begin with
// white space; empty lines and lines that begin with # are left out, also
// within an entry. The colon may be left out where white space follows the key,
// as in virtual(5) and in Exim's lsearch files. A key is a local-part, an
// address, or @domain for what else there is in a domain; it stands in quotes
// where it has white space or a colon. Of two entries with one key the first
// counts.
//
// Items are separated by commas or line ends: addresses, with a name or comment
// as in a message's header (RFC 5322, section 3.4), with or without a domain;
// "@domain", the same local-part there; "|command" and "/file"; :include:/file,
// and :fail: text, :defer: text, :unknown: and :blackhole:, which say what
// becomes of the address itself. An item stands in quotes where it has a comma
// or begins with white space; \ before a letter of the quoted means that letter.
package aliases
