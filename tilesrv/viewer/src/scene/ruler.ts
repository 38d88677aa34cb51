/** Measuring without annotating: a line with its length and last angle, an area or an ellipse with the values in it. */

import Draw from "ol/interaction/Draw";
import LineString from "ol/geom/LineString";
import VectorLayer from "ol/layer/Vector";
import VectorSource from "ol/source/Vector";
import type { Feature } from "../annotate/model";
import { words, type ImageRecord } from "../api";
import type { Grid2 } from "../grid";
import { KINDS, MeasureBar } from "../measuring";
import { mapFeature } from "./convert";
import { drawing, plainly, type Drawn } from "./draw";
import { angleAt, areaOf, lengthOf, sizeOfFeature, valueLines, valuesUnder } from "./measure";
import { sketch } from "./styles";

const COLOUR = "#ffd84a";

export interface RulerOptions {
  image: ImageRecord;
  grid: Grid2;
  /** Bands that are shown, counted from 1. */
  bands: () => readonly number[];
}

/** The ruler. */
export class Ruler {
  readonly bar = new MeasureBar(() => {
    this.clear();
    this.setActive(this.isActive);
  });
  readonly element = this.bar.element;
  readonly layer: VectorLayer;
  readonly draws: readonly Draw[];
  private readonly source = new VectorSource();
  private readonly units: Map<string, string>;
  private isActive = false;
  private turn = 0;

  constructor(private readonly options: RulerOptions) {
    const { grid, image } = options;
    this.units = new Map(image.bands.flatMap(({ name, unit }) => (unit ? [[name, unit] as const] : [])));
    this.layer = new VectorLayer({ source: this.source, style: sketch(COLOUR), zIndex: 35 });
    const shape = (tool: "polygon" | "ellipse"): Draw => drawing(tool, grid, sketch(COLOUR), (drawn) => void this.measure(drawn));
    this.draws = [this.line(), shape("polygon"), shape("ellipse")];
    for (const draw of this.draws) {
      draw.setActive(false);
      draw.on("drawstart", () => this.clear());
    }
  }

  /** The interaction that is in hand. */
  get draw(): Draw | undefined {
    return this.draws[KINDS.indexOf(this.bar.kind)];
  }

  setActive(active: boolean): void {
    this.isActive = active;
    for (const draw of this.draws) draw.setActive(active && draw === this.draw);
    this.bar.element.hidden = !active;
    if (!active) this.clear();
  }

  private clear(): void {
    this.source.clear();
    this.turn++;
    this.bar.say("");
  }

  private line(): Draw {
    const draw = new Draw({ type: "LineString", source: this.source, style: sketch(COLOUR), stopClick: true, condition: plainly });
    draw.on("drawstart", ({ feature }) => {
      let corners = 0;
      const geometry = feature.getGeometry();
      if (!(geometry instanceof LineString)) return;
      geometry.on("change", () => {
        const places = geometry.getCoordinates();
        if (places.length === corners) return; // only the pointer moved
        corners = places.length;
        void this.tellLine(places.slice(0, -1));
      });
    });
    draw.on("drawend", ({ feature }) => {
      const geometry = feature.getGeometry();
      if (geometry instanceof LineString) void this.tellLine(geometry.getCoordinates());
    });
    return draw;
  }

  private async tellLine(places: readonly number[][]): Promise<void> {
    const mine = ++this.turn;
    if (places.length < 2) return;
    const { image, grid } = this.options;
    const world = places.map(([x = 0, y = 0]) => grid.fromMap([x, y]));
    const parts = [await lengthOf(image, grid, world)];
    if (world.length > 2) {
      const [angle, { area }] = await Promise.all([angleAt(image, grid, world.slice(-3)), areaOf(image, grid, [[...world, world[0] ?? []]])]);
      parts.push(`${angle.toFixed(1)}°`, `closed: ${area}`);
    }
    if (mine === this.turn) this.bar.say(parts.join("   "));
  }

  /** Size of a shape at once, then the values in it, which the server has to look at. */
  private async measure(drawn: Drawn): Promise<void> {
    const { image, grid, bands } = this.options;
    const feature: Feature = {
      type: "Feature", id: "measured", geometry: drawn.geometry, ...(drawn.shape ? { shape: drawn.shape } : {}),
      properties: { label: "", attributes: {} },
    };
    const shown = mapFeature(feature, grid);
    if (shown) this.source.addFeature(shown);
    const mine = ++this.turn;
    const size = await sizeOfFeature(image, grid, feature);
    if (mine !== this.turn) return;
    this.bar.say(`${size}\n…`);
    let told: string;
    try {
      const zone = await valuesUnder(image, feature, bands());
      told = zone ? [`${zone.count.toLocaleString("en")} pixels`, ...valueLines(zone, this.units)].join("\n") : "";
    } catch (error) {
      told = `No values: ${words(error)}`;
    }
    if (mine === this.turn) this.bar.say(`${size}\n${told}`);
  }
}
