// Starts the GitHub emulator for tests/github on a free port of 127.0.0.1: a seed as JSON on the first
// line of stdin, the port on the first line of stdout. Ends when stdin ends, so it never outlives its test.
import { createServer } from "node:net";
import { createInterface } from "node:readline";
import { createEmulator } from "emulate";

const free = () => new Promise((resolve, reject) => {
  const probe = createServer();
  probe.once("error", reject);
  probe.listen(0, "127.0.0.1", () => { const { port } = probe.address(); probe.close(() => resolve(port)); });
});

const lines = createInterface({ input: process.stdin });
lines.on("close", () => process.exit(0));
lines.once("line", async (line) => {
  const { baseUrl, seed } = JSON.parse(line);
  const port = await free();
  await createEmulator({ service: "github", hostname: "127.0.0.1", port, baseUrl, seed });
  process.stdout.write(`${port}\n`);
});
