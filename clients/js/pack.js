/**
 * Make the npm packages of the modules that nodes serve: the same files, with their types beside them.
 *
 *     node pack.js DIRECTORY TSC       writes DIRECTORY/client and DIRECTORY/inbox, which find each other
 *
 * TSC is the program of TypeScript. What it says against the types is told, and the exit code 1.
 */

import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const SOURCE = join(HERE, "..", "..", "tocsin", "browser");
/** Stricter than most, and for the browsers of 2024. */
const FLAGS = [
  ...["--allowJs", "--checkJs", "--strict", "--exactOptionalPropertyTypes", "--declaration", "--emitDeclarationOnly"],
  ...["--target", "es2022", "--module", "nodenext", "--lib", "es2023,dom,dom.iterable,dom.asynciterable"],
];

const [directory, tsc] = process.argv.slice(2).map((each) => resolve(each));
for (const name of ["client", "inbox"]) {
  const place = join(directory, name);
  mkdirSync(place, { recursive: true });
  mkdirSync(join(directory, "node_modules", "@tocsin"), { recursive: true });
  symlinkSync(place, join(directory, "node_modules", "@tocsin", name));
  const files = readdirSync(join(SOURCE, name)).filter((each) => each.endsWith(".js"));
  // Of each module, also of those that no other imports, such as the service worker.
  const entrances = files.map((each) => join(place, each));
  for (const file of files) {
    const text = readFileSync(join(SOURCE, name, file), "utf8");
    // Where a node serves them, the packages are neighbours; where npm installs them, they have names.
    writeFileSync(join(place, file), text.replaceAll(/"\.\.\/client\/\w+\.js"/g, '"@tocsin/client"'));
  }
  cpSync(join(HERE, name), place, { recursive: true });
  try {
    execFileSync(tsc, [...FLAGS, "--outDir", place, ...entrances], { cwd: place, stdio: ["ignore", "inherit", "inherit"] });
  } catch (error) {
    if (typeof error.status !== "number") throw error;
    process.exit(1); // it has said why
  }
}
