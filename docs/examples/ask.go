package main

import (
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"os"
	"strings"
)

type count struct{ Sessions, Users uint64 }

type answer struct {
	Error, Message string
	Totals         struct {
		Sessions uint64 `json:"total_sessions"`
	} `json:"summary_totals"`
	Conversions []struct {
		URL        string
		Conversion count
	} `json:"conversion_performance"`
}

func main() {
	question := `{"source": "google.com", "touch_scope": "converting"}`
	request, err := http.NewRequest("POST", os.Getenv("PAGEROLES_URL")+"/api/v1/pages", strings.NewReader(question))
	if err != nil {
		log.Fatal(err)
	}
	request.Header.Set("Authentication", os.Getenv("PAGEROLES_KEY"))
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		log.Fatal(err)
	}
	defer response.Body.Close()

	var found answer
	if err := json.NewDecoder(response.Body).Decode(&found); err != nil {
		log.Fatal(err)
	}
	switch {
	case response.StatusCode != http.StatusOK:
		log.Fatal(found.Error)
	case found.Message != "":
		fmt.Println(found.Message)
	default:
		fmt.Println(found.Totals.Sessions)
	}
	for _, page := range found.Conversions {
		fmt.Println(page.URL, page.Conversion.Sessions)
	}
}
