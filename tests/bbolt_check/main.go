// Command bboltcheck checks a bbolt file with bbolt itself and prints every key and value as lines of hex:
// the keys of the buckets on the way, then the key, then the value, separated by blanks.
package main

import (
	"bufio"
	"fmt"
	"os"

	bolt "go.etcd.io/bbolt"
)

func main() {
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(path string) error {
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true})
	if err != nil {
		return err
	}
	defer db.Close()
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	return db.View(func(tx *bolt.Tx) error {
		var damage error
		for err := range tx.Check() {
			damage = err
		}
		if damage != nil {
			return damage
		}
		return tx.ForEach(func(name []byte, bucket *bolt.Bucket) error {
			return show(out, fmt.Sprintf("%x", name), bucket)
		})
	})
}

func show(out *bufio.Writer, path string, bucket *bolt.Bucket) error {
	fmt.Fprintf(out, "%s bucket\n", path)
	return bucket.ForEach(func(key, value []byte) error {
		if value == nil {
			return show(out, fmt.Sprintf("%s %x", path, key), bucket.Bucket(key))
		}
		// Get walks down the branch pages, ForEach along the leaves: both must agree.
		fmt.Fprintf(out, "%s %x = %x\n", path, key, bucket.Get(key))
		return nil
	})
}
