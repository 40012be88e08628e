package page

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// patience is how long a step may take on a busy machine.
const patience = 2 * time.Minute

// startBrowser returns the context of a browser that can reach loopback alone.
func startBrowser(t *testing.T) context.Context {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(chromium(t)),
		chromedp.UserDataDir(t.TempDir()),
		chromedp.NoSandbox, // it runs as root in CI
		chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
	)
	alloc, stopAlloc := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(stopAlloc)
	browser, stop := chromedp.NewContext(alloc)
	t.Cleanup(stop)
	if err := chromedp.Do(browser); err != nil {
		t.Fatalf("chromium does not start: %v", err)
	}
	return browser
}

func chromium(t *testing.T) string {
	t.Helper()
	for _, p := range []string{os.Getenv("CHROMIUM"), "/usr/bin/chromium"} {
		if _, err := os.Stat(p); p != "" && err == nil {
			return p
		}
	}
	t.Fatal("no /usr/bin/chromium: install Debian's package chromium, or name another in CHROMIUM")
	return ""
}

// viewport is a width and a colour scheme.
type viewport struct {
	width int64
	dark  bool
}

func (l viewport) String() string { return fmt.Sprintf("%d-%s", l.width, l.scheme()) }

func (l viewport) scheme() string {
	if l.dark {
		return "dark"
	}
	return "light"
}

// observed is what the browser displayed and requested.
type observed struct {
	Facts
	Complaints []string // of the console, scripts and the security policy
	Requests   []string // URLs
	Dialogs    int
}

// Facts are read from the page by the test's script.
type Facts struct {
	Title       string
	Hacked      bool // a script of the page ran
	Scroll      int  // width of the content
	Client      int  // width of the window
	Text        string
	Wide        []string // elements that overflow
	Cut         []string // text that is hidden or cut
	Labels      []Label
	Contrast    []string // texts with a contrast below 4.5
	Texts       int      // texts whose contrast was measured
	Links       []string
	Markup      map[string]int // number of elements of each name
	Handlers    []string       // attributes that would run a script
	Refresh     string
	Stylesheets int
}

// Label is a coloured word.
type Label struct {
	Text, Class string
	Contrast    float64
	Visible     bool
}

// visit opens a URL in a new tab and reads the facts. With a name and SCREENSHOTS set, it writes a
// picture.
func visit(t *testing.T, browser context.Context, url string, l viewport, name string) observed {
	t.Helper()
	tab, closeTab := chromedp.NewContext(browser)
	defer closeTab()
	tab, cancel := context.WithTimeout(tab, patience)
	defer cancel()

	var mu sync.Mutex
	var s observed
	err := chromedp.Listen(tab, func(event any) {
		mu.Lock()
		defer mu.Unlock()
		switch e := event.(type) {
		case *network.EventRequestWillBeSent:
			s.Requests = append(s.Requests, e.Request.URL)
		case *runtime.EventConsoleAPICalled:
			s.Complaints = append(s.Complaints, fmt.Sprintf("console.%s", e.Type))
		case *runtime.EventExceptionThrown:
			s.Complaints = append(s.Complaints, e.ExceptionDetails.Text)
		case *log.EventEntryAdded:
			s.Complaints = append(s.Complaints, fmt.Sprintf("%s: %s", e.Entry.Level, e.Entry.Text))
		case *page.EventJavascriptDialogOpening:
			s.Dialogs++
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	err = chromedp.Do(tab,
		command(network.Enable, network.EnableParams{}),
		command(log.Enable, cdp.Empty{}),
		command(emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
			Width: l.width, Height: 900, DeviceScaleFactor: 1, Mobile: l.width < 600,
		}),
		command(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: l.scheme()}},
		}),
		chromedp.Navigate(url),
	)
	if err != nil {
		t.Fatalf("%s at %s: %v", url, l, err)
	}
	facts, err := chromedp.Run(tab, chromedp.Evaluate[Facts](factsScript))
	if err != nil {
		t.Fatalf("%s at %s: %v", url, l, err)
	}
	if dir := os.Getenv("SCREENSHOTS"); dir != "" && name != "" {
		picture(t, tab, filepath.Join(dir, fmt.Sprintf("%s-%s.png", name, l)))
	}
	mu.Lock()
	defer mu.Unlock()
	s.Facts = facts
	return s
}

// command is a step that sends one command of the protocol.
func command[P, R any](c cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, c, params)
		return err
	})
}

// picture writes a picture of the whole page.
func picture(t *testing.T, tab context.Context, file string) {
	t.Helper()
	png, err := chromedp.Run(tab, chromedp.FullScreenshot(100))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, png, 0o600); err != nil {
		t.Fatal(err)
	}
}
