import { readdirSync } from "node:fs";
import { defineConfig } from "vite";

/** Compiles the unit tests for node, which runs no TypeScript itself. */
export default defineConfig({
  publicDir: false,
  ssr: { noExternal: true },
  build: {
    ssr: true,
    target: "node20",
    outDir: "node_modules/.unit",
    emptyOutDir: true,
    rolldownOptions: { input: readdirSync("test").map((name) => `test/${name}`) },
  },
});
