//! Why the index is no library. Nothing but what was measured.
//!
//! # Beside three of them
//! Measured on 28 November 2026 on two cores of an AMD EPYC (Zen 4) with 24 GiB and ext4, alone on the machine, with keys of 32
//! bytes and locations of 8: 10,000,000 keys loaded at the end of a sync; then 1,024 commits of 1,000 random keys, each looked
//! up and moved; then random reads on one thread by another process. redb 4.6 and fjall 3.1 with caches of 64 MiB, heed 0.22
//! (LMDB 0.9) with a map over all, otherwise as they come. One run each, but for the loads in order of the log: the median
//! of 3, the sorting of all keys in memory included for those that do not sort. Loads in order of the keys swing: another time this
//! took 2.1 s, and 4.9 s for 50,000,000. Its loads are those of sorted runs that were merged at the end, before there were parts;
//! `cargo bench -p cordee-node --bench index` measures what there is now. Its reader's memory is that of later on the day, when tables
//! took half as much to open. Its entries were of 40 bytes then; since 29 November 2026 those of unordered kinds have 24.
//!
//! | 10,000,000 keys | this | redb | fjall | LMDB |
//! |---|---|---|---|---|
//! | load, in order of the keys | 0.92 s | 5.2 s | 2.9 s | 3.3 s |
//! | load, in order of the log | 1.2 s | 6.1 s | 2.9 s | 2.9 s |
//! | commits: keys a second | 517 k | 64 k | 126 k | 154 k |
//! | one commit: median, 99 of 100 (ms) | 1.9, 3.5 | 13, 68 | 6.6, 20 | 4.3, 8.1 |
//! | the same, each durable: keys a second | - | 54 k | 111 k | 40 k |
//! | reads a second, hot | 493 k | 339 k | 237 k | 1,111 k |
//! | reads a second, cold | 20 k | 18 k | 17 k | 50 k |
//! | absent keys a second, hot | 3.2 M | 372 k | 3.1 M | 1.0 M |
//! | open, cold, loaded; after the commits | 15; 17 ms | 2; 5 ms | 25; 1,131 ms | 11; 22 ms |
//! | memory of the reader after its reads | 21 MiB | 98 MiB | 95 MiB | 494 MiB, 490 of them the map |
//! | most memory while committing | 90 MiB | 111 MiB | 246 MiB | 515 MiB |
//! | on disk: loaded; after the commits | 417; 458 MB | 413; 2,958 MB | 456; 548 MB | 511; 525 MB |
//!
//! | 50,000,000 keys | this | LMDB |
//! |---|---|---|
//! | load, in order of the keys | 6.8 s | 12.2 s |
//! | commits: keys a second | 397 k | 74 k |
//! | reads a second, hot; cold | 474 k; 20 k | 574 k; 11 k |
//! | open, cold | 80 ms | 11 ms |
//! | memory of the reader after its reads | 81 MiB | 2,444 MiB |
//! | on disk: loaded; after the commits | 2,086; 2,129 MB | 2,555; 2,572 MB |
//!
//! What is derived from the log need not be durable at each commit. So commits went to redb with `Durability::None`, to fjall
//! without a sync, and to LMDB with `NO_SYNC`, each synced behind 128 of them: as often as this index does. LMDB is not safe
//! from a loss of power in that mode; the others are. redb and fjall were not measured with 50,000,000 keys.
//!
//! What matters here is the load that a sync ends with, commits that a publisher does not wait for, and memory. This is
//! ahead in all three. LMDB opens sooner, and its hot reads are 1.2 to 2.3 times as fast: a read of a value takes 4.8 us (see
//! below), 2 us of them for its place, so it would be about a quarter less. Cold ones are faster where the system, reading
//! around each page, soon has the whole map in memory, and slower where it has not. But that map counts as memory of the
//! process, which is to stay below 200 MiB at 10,000,000 keys, and it needs `unsafe`. So this index stays.
//!
//! # What a node costs with it
//! Values of 100 bytes. `cordee bench sync`, one run each, earlier:
//!
//! | operations | sync | most memory of the client | open | on disk, log and index |
//! |---|---|---|---|---|
//! | 1,000,000, 4 peers | 1.2 s | 157 MiB | 0.01 s | 230 bytes each |
//! | 10,000,000, 2 peers | 11.4 s | 199 MiB | 0.02 s | 230 bytes each |
//!
//! `cordee bench read --ops 10000000 --runs 2`, on the machine and the day above, when opening took 16 MiB more:
//!
//! | | |
//! |---|---|
//! | database open and a key read, files not in the cache | 14 ms, 40 MiB |
//! | `cordee run` until `/v1/status` has answered, files not in the cache | 0.18 s, 59 MiB at rest |
//! | its memory after 2,000 values with proofs over HTTP | 54 MiB |
//! | values a second on one thread: from the cache, from the disk | 208 k, 5.9 k |
//! | values with proofs a second on one thread: from the cache, from the disk | 17.8 k, 4.7 k |
//! | memory after these reads | 45 MiB |
//! | values with proofs over HTTP, one after the other | 1,613 a second |
//! | on disk, log and index | 237 bytes an operation |
