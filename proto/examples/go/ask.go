// Asks over gRPC which pages had a part in the conversions of visits from Google.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	pagerolesv1 "example.com/ask/gen/pageroles/v1"
)

func main() {
	channel, err := grpc.NewClient(os.Getenv("PAGEROLES_TARGET"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	defer channel.Close()

	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	ctx = metadata.AppendToOutgoingContext(ctx, "authentication", os.Getenv("PAGEROLES_KEY"))
	answer, err := pagerolesv1.NewPageRolesServiceClient(channel).Pages(ctx, &pagerolesv1.PagesRequest{
		StartDate:  "2025-07-01",
		EndDate:    "2025-07-31",
		Source:     "google.com",
		TouchScope: pagerolesv1.TouchScope_TOUCH_SCOPE_CONVERTING,
	})
	if err != nil {
		log.Fatal(err)
	}

	if answer.Message != "" {
		fmt.Println(answer.Message)
		return
	}
	fmt.Println(answer.SummaryTotals.TotalSessions)
	for _, page := range answer.ConversionPerformance {
		fmt.Println(page.Url, page.Conversion.Sessions)
	}
}
