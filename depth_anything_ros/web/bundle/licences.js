// Writes the licences of what is in ../static/libraries.js beside it.
import { readFileSync, writeFileSync } from "node:fs";

const { dependencies } = JSON.parse(readFileSync("package.json", "utf8"));
const parts = Object.keys(dependencies).sort().map((name) => {
  const { version, license } = JSON.parse(readFileSync(`node_modules/${name}/package.json`, "utf8"));
  const own = { "img-comparison-slider": "licences/img-comparison-slider.txt" }[name];
  const text = readFileSync(own ?? `node_modules/${name}/LICENSE`, "utf8").trim();
  return `${name} ${version} (${license})\n\n${text}\n`;
});
const words = "libraries.js is made of these, by `make web-bundle`.\n";
writeFileSync("../static/libraries_licences.txt", [words, ...parts].join(`\n${"-".repeat(72)}\n\n`));
