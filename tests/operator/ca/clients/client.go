// Prints "ok" or why not for each PORT=HOST after the trust file: a TLS handshake with 127.0.0.1
// under that name.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strings"
)

func main() {
	pem, err := os.ReadFile(os.Args[1])
	if err != nil {
		panic(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	for _, target := range os.Args[2:] {
		port, host, _ := strings.Cut(target, "=")
		config := &tls.Config{ServerName: host, RootCAs: roots}
		connection, err := tls.Dial("tcp", "127.0.0.1:"+port, config)
		if err != nil {
			fmt.Println("refused:", strings.ReplaceAll(err.Error(), "\n", " "))
			continue
		}
		connection.Close()
		fmt.Println("ok")
	}
}
