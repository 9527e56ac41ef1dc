package store

import "hash/crc32"

// castagnoli is the polynomial of every checksum here: it has an instruction.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)
